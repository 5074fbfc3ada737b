-- How well do images and captions fit, real and fake, for each generator?
-- A row is one generator, kind (real, fake), variant and level (global, local).
--
-- An image that is listed under several generators counts once for each.
-- generator  as in listing
-- kind       real, fake, or null where unknown or listings disagree
-- variant    clean, or the name of the perturbation
-- level      global: image and caption; local: mean over an image's objects
-- images     distinct images
-- measured   of these, with a cosine at this level
-- cosine     their mean cosine
-- low        lower end of its 95 % interval, by Student's t; null of one image
-- high       upper end of it
-- sd         standard deviation of the cosine over the images
-- distance   their mean distance
-- delta      of fakes, Cliff's: how much more often a real of this generator
--            has a higher cosine than a lower one (see `hypothesis`)

with groups as (

    select
        content_id,
        unnest(generators) as generator,
        case label when 0 then 'real' when 1 then 'fake' end as kind
    from content_labels()

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
        unnest([
            {
                'level': 'global',
                'measured': count(aligned.cosine_global),
                'cosine': avg(aligned.cosine_global),
                'sd': stddev_samp(aligned.cosine_global),
                'distance': avg(aligned.distance_global)
            },
            {
                'level': 'local',
                'measured': count(aligned.cosine_local),
                'cosine': avg(aligned.cosine_local),
                'sd': stddev_samp(aligned.cosine_local),
                'distance': avg(aligned.distance_local)
            }
        ], recursive := true)
    from aligned
    inner join groups using (content_id)
    group by groups.generator, groups.kind, aligned.variant

),

reaching as (

    select
        *,
        t_bound(greatest(measured - 1, 1)) * sd / sqrt(measured) as reach
    from joined

),

deltas as (

    select
        generator,
        'fake' as kind,
        variant,
        level,
        2 * auroc - 1 as delta
    from versus_reals(null, null)
    where against = 'own'

)

select
    reaching.generator,
    reaching.kind,
    reaching.variant,
    reaching.level,
    reaching.images,
    reaching.measured,
    reaching.cosine,
    reaching.cosine - reaching.reach as low,
    reaching.cosine + reaching.reach as high,
    reaching.sd,
    reaching.distance,
    deltas.delta
from reaching
left join deltas
    on
        reaching.generator is not distinct from deltas.generator
        and reaching.kind = deltas.kind
        and reaching.variant = deltas.variant
        and reaching.level = deltas.level
order by
    reaching.generator,
    reaching.level,
    reaching.kind desc,
    severity(reaching.variant)
