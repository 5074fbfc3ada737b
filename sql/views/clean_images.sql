-- One row: one clean image of the listing, with its numbers: what statistics
-- over a whole corpus need, and no more, so that they take a second where
-- misalignment_by_image takes several. A label, generator, dataset, split or
-- class_name on which an image's listings disagree is null.
--
-- image_id         as in images
-- label            0 real, 1 fake
-- generator        as in listing
-- dataset          as in listing
-- split            as in listing
-- class_name       as in listing
-- width            pixels, as in images
-- height           pixels, as in images
-- format           as in images
-- jpeg_quality     as in images
-- caption          as in captions
-- num_tokens       as in captions
-- mean_logprob     as in captions
-- num_objects      objects that the caption names; null if not measured
-- cosine_global    cosine of image and caption
-- distance_global  distance of image and caption
-- cosine_local     mean cosine of the objects; null without objects
-- distance_local   mean distance of the objects; null without objects
-- worst_cosine     the lowest cosine of the objects; null without objects

-- one table below the other, grouped once: half the work of joining them; the
-- levels told apart once, not in every sum; the ids of variants are longer
with source as (

    select
        image_id,
        uri,
        label,
        generator,
        dataset,
        split,
        class_name,
        width,
        height,
        format,
        jpeg_quality
    from listing
    where image_id is not null

    union all by name

    select
        image_id,
        caption,
        num_tokens,
        mean_logprob
    from captions
    where length(image_id) = 32

    union all by name

    select
        image_id,
        level = 'global' as whole,
        object_no,
        case when level = 'global' then cosine end as cosine_of_image,
        case when level = 'global' then distance end as distance_of_image,
        case when level = 'local' then cosine end as cosine_of_object,
        case when level = 'local' then distance end as distance_of_object
    from store.misalignment
    where length(image_id) = 32

)

select
    image_id,
    case when min(label) = max(label) then min(label) end as label,
    case
        when min(generator) = max(generator) then min(generator)
    end as generator,
    case when min(dataset) = max(dataset) then min(dataset) end as dataset,
    case when min(split) = max(split) then min(split) end as split,
    case
        when min(class_name) = max(class_name) then min(class_name)
    end as class_name,
    any_value(width) as width,
    any_value(height) as height,
    any_value(format) as format,
    any_value(jpeg_quality) as jpeg_quality,
    any_value(caption) as caption,
    any_value(num_tokens) as num_tokens,
    any_value(mean_logprob) as mean_logprob,
    case
        when
            count(whole) > 0
            and count(*) filter (where not whole and object_no is null) = 0
            then count(object_no)
    end as num_objects,
    any_value(cosine_of_image) as cosine_global,
    any_value(distance_of_image) as distance_global,
    avg(cosine_of_object) as cosine_local,
    avg(distance_of_object) as distance_local,
    min(cosine_of_object) as worst_cosine
from source
group by image_id
having count(uri) > 0
