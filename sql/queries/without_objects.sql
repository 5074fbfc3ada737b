-- Which images have a caption that names no object?
-- A row is one clean image, the one that fits its caption least first.
--
-- These images have no local misalignment.
-- param images integer 20: how many
-- param generator text null: only this generator, as in clean_images
-- image_id       as in images
-- uri            the path, or the first of several
-- kind           real, fake, or null where the label is unknown
-- generator      null if the image's listings differ
-- caption        as in captions
-- cosine_global  cosine of image and caption

with empty as (

    -- of an image without objects there is one row, without a number
    select image_id
    from store.objects
    where object_no is null and error is null and length(image_id) = 32

),

labels as (

    select
        image_id,
        min(uri) as uri,
        case when min(label) = max(label) then min(label) end as label,
        case
            when min(generator) = max(generator) then min(generator)
        end as generator
    from listing
    where image_id in (select image_id from empty)
    group by image_id

),

whole as (

    select
        image_id,
        cosine
    from misalignment
    where level = 'global' and image_id in (select image_id from empty)

),

described as (

    select
        image_id,
        caption
    from captions
    where image_id in (select image_id from empty)

)

select
    labels.image_id,
    labels.uri,
    case labels.label when 0 then 'real' when 1 then 'fake' end as kind,
    labels.generator,
    described.caption,
    whole.cosine as cosine_global
from labels
left join whole using (image_id)
left join described using (image_id)
where $generator::varchar is null or labels.generator = $generator
order by whole.cosine, labels.image_id
limit $images::bigint
