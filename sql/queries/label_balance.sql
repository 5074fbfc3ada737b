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

with counted as (

    select
        dataset,
        split,
        generator,
        image_id,
        count(*) as files,
        bool_or(label = 0) as real,
        bool_or(label = 1) as fake,
        bool_or(label is null) as unlabelled
    from listing
    group by dataset, split, generator, image_id

),

joined as (

    select
        dataset,
        split,
        generator,
        sum(files) as files,
        coalesce(sum(files) filter (where image_id is null), 0) as unreadable,
        count(image_id) as images,
        sum(files) - unreadable - count(image_id) as duplicates,
        count(image_id) filter (where real) as real,
        count(image_id) filter (where fake) as fake,
        count(image_id) filter (where unlabelled) as unlabelled
    from counted
    group by dataset, split, generator

)

select
    *,
    fake / nullif(real + fake, 0) as fake_share
from joined
order by dataset, split, generator
