-- Which images fit their caption least?
-- A row is one image in one variant, the one with the lowest cosine first.
--
-- The columns are those of misalignment_by_image.
-- param images integer 20: how many
-- param generator text null: only this generator
-- param variant text clean: only this variant; null: all

with labels as (

    select image_id as content_id
    from listing
    where image_id is not null and $generator::varchar is not null
    group by image_id
    having min(generator) = $generator and max(generator) = $generator

),

least as (

    select
        image_id,
        cosine
    from misalignment
    where
        level = 'global'
        and cosine is not null
        and (
            $variant::varchar is null
            or coalesce(nullif(substr(image_id, 34), ''), 'clean') = $variant
        )
        and (
            $generator::varchar is null
            or left(image_id, 32) in (select content_id from labels)
        )
    order by cosine, image_id
    limit $images::bigint

)

select
    image_id,
    uri,
    variant,
    case label when 0 then 'real' when 1 then 'fake' end as kind,
    generator,
    caption,
    cosine_global,
    distance_global,
    cosine_local,
    worst_phrase,
    worst_cosine
from about_images((select list(image_id) from least))
order by cosine_global, image_id
