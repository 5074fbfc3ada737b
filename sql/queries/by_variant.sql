-- Do images and captions fit differently when images are perturbed?
-- A row is one variant and kind (real, fake), with means per image.
--
-- Clean images are all of them, in a variant or not: variant_drift compares
-- the same ones.
-- param generator text null: only images that are listed under this one
-- variant          clean, or the name of the perturbation
-- kind             real, fake, or null where unknown or listings disagree
-- images           distinct images
-- measured         of these, with a global cosine
-- with_objects     of these, with at least one measured object
-- cosine_global    mean cosine of image and caption
-- cosine_global_sd standard deviation over the images
-- distance_global  mean distance of image and caption
-- cosine_local     mean over the images of the mean cosine of their objects
-- distance_local   mean over the images of the mean distance of their objects

with labels as (

    select
        image_id as content_id,
        case
            when min(label) <> max(label) then null
            when min(label) = 0 then 'real'
            when min(label) = 1 then 'fake'
        end as kind
    from listing
    where
        image_id is not null
        and ($generator::varchar is null or generator = $generator)
    group by image_id

),

joined as (

    select
        images.variant,
        labels.kind,
        count(*) as images,
        count(features.cosine_global) as measured,
        count(features.cosine_local) as with_objects,
        avg(features.cosine_global) as cosine_global,
        stddev_samp(features.cosine_global) as cosine_global_sd,
        avg(features.distance_global) as distance_global,
        avg(features.cosine_local) as cosine_local,
        avg(features.distance_local) as distance_local
    from images
    inner join labels using (content_id)
    left join features using (image_id)
    group by images.variant, labels.kind

)

from joined
order by severity(variant), kind desc
