-- Do images and captions fit differently when images are larger?
-- A row is one size and kind (real, fake), the smallest size first.
--
-- Clean images with a global cosine only.
-- If sizes differ by kind, a detector can learn the size instead.
-- param generator text null: only this generator, as in misalignment_by_image
-- width            pixels, as in images
-- height           pixels, as in images
-- kind             real, fake, or null where the label is unknown
-- images           distinct images
-- cosine_global    mean cosine of image and caption
-- distance_global  mean distance of image and caption
-- with_objects     images with at least one measured object
-- cosine_local     mean over these of the mean cosine of their objects
-- worst_cosine     mean over these of the lowest cosine of their objects

with source as (

    select
        images.width,
        images.height,
        case aligned.label when 0 then 'real' when 1 then 'fake' end as kind,
        aligned.cosine_global,
        aligned.distance_global,
        aligned.cosine_local,
        aligned.worst_cosine
    from misalignment_by_image as aligned
    inner join images using (image_id)
    where
        aligned.variant = 'clean'
        and aligned.cosine_global is not null
        and ($generator::varchar is null or aligned.generator = $generator)

)

select
    width,
    height,
    kind,
    count(*) as images,
    avg(cosine_global) as cosine_global,
    avg(distance_global) as distance_global,
    count(cosine_local) as with_objects,
    avg(cosine_local) as cosine_local,
    avg(worst_cosine) as worst_cosine
from source
group by width, height, kind
order by width, height, kind desc
