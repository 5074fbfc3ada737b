-- Which images have a caption that names no object?
-- A row is one clean image, the one that fits its caption least first.
--
-- These images have no local misalignment.
-- param images integer 20: how many
-- param generator text null: only this generator, as in misalignment_by_image
-- image_id       as in images
-- uri            the path, or the first of several
-- kind           real, fake, or null where the label is unknown
-- generator      null if the image's listings differ
-- caption        as in captions
-- cosine_global  cosine of image and caption

select
    image_id,
    uri,
    case label when 0 then 'real' when 1 then 'fake' end as kind,
    generator,
    caption,
    cosine_global
from misalignment_by_image
where
    variant = 'clean'
    and num_objects = 0
    and ($generator::varchar is null or generator = $generator)
order by cosine_global, image_id
limit $images::bigint
