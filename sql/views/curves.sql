-- One row: one epoch of one head of one trained run. Losses are weighted as
-- in training. Methods that are no heads have no epochs, and no rows.
--
-- experiment       as in runs
-- run_id           as in runs
-- method           as in runs
-- epoch            from 1
-- learning_rate    at the epoch's start
-- train_loss       mean over the epoch, while weights changed, in nats
-- validation_loss  on validation images, after the epoch, in nats
-- validation_ap    average precision on them
-- best             whether the head has the weights of this epoch

with source as (

    from store.curves

)

from source
