-- One row: what one method of one trained run says of one test image. An image
-- that is listed under several generators is tested in each of them, and one
-- that is tested in several variants has a row in each.
--
-- experiment   as in runs
-- run_id       as in runs
-- method       as in runs
-- image_id     as in images
-- variant      as in images
-- generator    the tested one, as in listing
-- split        as in listing
-- label        0 real, 1 fake
-- probability  of fake

with source as (

    from store.predictions

)

from source
