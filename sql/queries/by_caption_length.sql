-- Do images and captions fit differently when captions are longer?
-- A row is one caption length and kind (real, fake), with means per image.
--
-- Clean images with a global cosine only.
-- param generator text null: only this generator, as in clean_images
-- num_tokens       tokens of the caption, as in captions
-- kind             real, fake, or null where the label is unknown
-- images           distinct images
-- cosine_global    mean cosine of image and caption
-- distance_global  mean distance of image and caption
-- with_objects     images with at least one measured object
-- cosine_local     mean over these of the mean cosine of their objects
-- worst_cosine     mean over these of the lowest cosine of their objects

with source as (

    select
        num_tokens,
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
    num_tokens,
    kind,
    count(*) as images,
    avg(cosine_global) as cosine_global,
    avg(distance_global) as distance_global,
    count(cosine_local) as with_objects,
    avg(cosine_local) as cosine_local,
    avg(worst_cosine) as worst_cosine
from source
group by num_tokens, kind
order by num_tokens, kind desc
