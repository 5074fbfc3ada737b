-- Which images fit their caption least?
-- A row is one image, in one variant; the twenty with the lowest global cosine.
--
-- The columns are those of misalignment_by_image.

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
where cosine_global is not null
order by cosine_global, image_id
limit 20
