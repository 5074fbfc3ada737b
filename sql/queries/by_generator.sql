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

-- both in one grouping: less work than a join of two; and levels told apart
-- once, not in every mean
source as (

    select
        image_id,
        variant
    from images

    union all by name

    select
        image_id,
        case when level = 'global' then cosine end as cosine_of_image,
        case when level = 'global' then distance end as distance_of_image,
        case when level = 'local' then cosine end as cosine_of_object,
        case when level = 'local' then distance end as distance_of_object
    from misalignment

),

aligned as (

    select
        left(image_id, 32) as content_id,
        any_value(variant) as variant,
        any_value(cosine_of_image) as cosine_global,
        any_value(distance_of_image) as distance_global,
        avg(cosine_of_object) as cosine_local,
        avg(distance_of_object) as distance_local
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
