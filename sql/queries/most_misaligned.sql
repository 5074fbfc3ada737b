-- Which images fit their caption least?
-- A row is one image in one variant, the one with the lowest cosine first.
--
-- The columns are those of misalignment_by_image.
-- param images integer 20: how many
-- param generator text null: only this generator
-- param variant text clean: only this variant; null: all

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
from misalignment_by_image
where
    cosine_global is not null
    and ($generator::varchar is null or generator = $generator)
    and ($variant::varchar is null or variant = $variant)
order by cosine_global, image_id
limit $images::bigint
