-- Do images and captions fit differently in other formats and qualities?
-- A row is one format, JPEG quality and kind (real, fake).
--
-- Clean images with a global cosine only.
-- If formats differ by kind, a detector can learn the format instead.
-- param generator text null: only this generator, as in clean_images
-- format           as in images
-- jpeg_quality     as in images; null for other formats
-- kind             real, fake, or null where the label is unknown
-- images           distinct images
-- cosine_global    mean cosine of image and caption
-- distance_global  mean distance of image and caption
-- with_objects     images with at least one measured object
-- cosine_local     mean over these of the mean cosine of their objects
-- worst_cosine     mean over these of the lowest cosine of their objects

with source as (

    select
        format,
        jpeg_quality,
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
    format,
    jpeg_quality,
    kind,
    count(*) as images,
    avg(cosine_global) as cosine_global,
    avg(distance_global) as distance_global,
    count(cosine_local) as with_objects,
    avg(cosine_local) as cosine_local,
    avg(worst_cosine) as worst_cosine
from source
group by format, jpeg_quality, kind
order by format, jpeg_quality, kind desc
