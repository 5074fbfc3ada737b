-- One row: one method of one trained run, tested on one generator. The runs
-- are all of the store's, whichever DAG trained them. Runs written by another
-- version may have other columns besides: they are here too, null elsewhere.
-- A run's means over the generators that it has not seen, where it has them,
-- are no rows here, but the rows of store.runs with scope = 'mean'.
--
-- experiment  its name in the DAG
-- run_id      hash of its configuration and data; unique in an experiment
-- saved       when the run was written (UTC), by its file's time
-- method      the head's features, or the baseline's name
-- generator   the tested one, as in listing
-- seen        whether fakes of this generator were trained on
-- ap          average precision; null when a class is missing
-- auroc       area under the ROC curve; null when a class is missing
-- accuracy    share of right answers
-- tnr         share of reals called real
-- tpr         share of fakes called fake
-- n           tested images

with source as (

    from store.runs

)

select * exclude (scope)
from source
where scope is null or scope = 'generator'
