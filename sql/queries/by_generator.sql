-- How well do images and captions fit, real and fake, for each generator?
-- A row is one generator, kind (real, fake) and variant, with means per image.
--
-- An image that is listed in several groups counts once in each of them.
-- generator        as in listing
-- kind             real, fake, or null where the label is unknown
-- variant          clean, or the name of the perturbation
-- images           distinct images
-- measured         of these, with a global cosine
-- with_objects     of these, with at least one measured object
-- cosine_global    mean cosine of image and caption
-- cosine_global_sd standard deviation over the images
-- distance_global  mean distance of image and caption
-- cosine_local     mean over the images of the mean cosine of their objects
-- distance_local   mean over the images of the mean distance of their objects

with groups as (

    select distinct
        image_id as content_id,
        generator,
        case label when 0 then 'real' when 1 then 'fake' end as kind
    from listing
    where image_id is not null

),

-- both in one grouping: less work than a join of two
source as (

    select
        image_id,
        variant
    from images

    union all by name

    select
        image_id,
        level,
        cosine,
        distance
    from misalignment

),

aligned as (

    select
        left(image_id, 32) as content_id,
        any_value(variant) as variant,
        avg(cosine) filter (where level = 'global') as cosine_global,
        avg(distance) filter (where level = 'global') as distance_global,
        avg(cosine) filter (where level = 'local') as cosine_local,
        avg(distance) filter (where level = 'local') as distance_local
    from source
    group by image_id
    having count(variant) > 0

),

joined as (

    select
        groups.generator,
        groups.kind,
        aligned.variant,
        count(*) as images,
        count(aligned.cosine_global) as measured,
        count(aligned.cosine_local) as with_objects,
        avg(aligned.cosine_global) as cosine_global,
        stddev_samp(aligned.cosine_global) as cosine_global_sd,
        avg(aligned.distance_global) as distance_global,
        avg(aligned.cosine_local) as cosine_local,
        avg(aligned.distance_local) as distance_local
    from aligned
    inner join groups using (content_id)
    group by groups.generator, groups.kind, aligned.variant

)

from joined
order by generator, kind desc, severity(variant)
