-- Is each split and generator balanced between real and fake?
-- A row is one dataset, split and generator of the listing.
--
-- An image listed twice in a group counts once there; listed in two groups it
-- counts in both, and in real and in fake if its labels differ.
-- dataset     as in listing
-- split       as in listing
-- generator   as in listing
-- files       listed files
-- unreadable  of these, files that could not be read
-- images      distinct images
-- duplicates  readable files that repeat an image of the group
-- real        distinct images labelled 0
-- fake        distinct images labelled 1
-- unlabelled  distinct images without a label
-- fake_share  fake / (real + fake)

with joined as (

    select
        dataset,
        split,
        generator,
        count(*) as files,
        count(*) filter (where image_id is null) as unreadable,
        count(distinct image_id) as images,
        count(image_id) - count(distinct image_id) as duplicates,
        count(distinct image_id) filter (where label = 0) as real,
        count(distinct image_id) filter (where label = 1) as fake,
        count(distinct image_id) filter (where label is null) as unlabelled
    from listing
    group by dataset, split, generator

)

select
    *,
    fake / nullif(real + fake, 0) as fake_share
from joined
order by dataset, split, generator
