-- Do images and captions fit differently when images are larger?
-- A row is one size and kind (real, fake), the smallest size first.
--
-- Clean images with a global cosine only.
-- If sizes differ by kind, a detector can learn the size instead.
-- param generator text null: only this generator, as in clean_images
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
        width,
        height,
        case label when 0 then 'real' when 1 then 'fake' end as kind,
        cosine_global,
        distance_global,
        cosine_local,
        worst_cosine
    from clean_images
    where
        cosine_global is not null
        and ($generator::varchar is null or generator = $generator)

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
