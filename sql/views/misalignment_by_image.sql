-- One row: one distinct image, in one variant, with its labels, its caption
-- and how well they fit. An image that is listed several times (the same bytes
-- at several paths) is one row: num_uris counts the paths, and a label,
-- generator, dataset, split or class_name on which its listings disagree is
-- null and named in disagreement. Join listing to count such an image in each
-- of its groups. Files that could not be read have no image: see listing.
--
-- image_id         as in images
-- variant          clean, or the name of the perturbation
-- uri              the path, or the first of the paths in alphabetical order
-- num_uris         how many paths hold these bytes
-- label            0 real, 1 fake
-- generator        as in listing
-- dataset          as in listing
-- split            as in listing
-- class_name       as in listing
-- disagreement     the columns of these five that are null because the
--                  image's listings differ; null if none
-- caption          as in captions
-- num_objects      objects that the caption names; null if not parsed
-- cosine_global    cosine of image and caption
-- distance_global  distance of image and caption
-- cosine_local     mean cosine of the objects; null without objects
-- distance_local   mean distance of the objects; null without objects
-- worst_phrase     the object with the lowest cosine
-- worst_cosine     the cosine of that object
-- error            the first thing that failed for this image; null if nothing

with labels as (

    select
        image_id as content_id,
        min(uri) as uri,
        count(*) as num_uris,
        case when min(label) = max(label) then min(label) end as label,
        case
            when min(generator) = max(generator) then min(generator)
        end as generator,
        case when min(dataset) = max(dataset) then min(dataset) end as dataset,
        case when min(split) = max(split) then min(split) end as split,
        case
            when min(class_name) = max(class_name) then min(class_name)
        end as class_name,
        nullif(
            concat_ws(
                ', ',
                case when min(label) <> max(label) then 'label' end,
                case when min(generator) <> max(generator) then 'generator' end,
                case when min(dataset) <> max(dataset) then 'dataset' end,
                case when min(split) <> max(split) then 'split' end,
                case
                    when min(class_name) <> max(class_name) then 'class_name'
                end
            ),
            ''
        ) as disagreement
    from listing
    where image_id is not null
    group by image_id

),

parsed as (

    select
        image_id,
        case when count(error) = 0 then count(object_no) end as num_objects,
        min(error) as error
    from store.objects
    group by image_id

),

measured as (

    select
        image_id,
        any_value(cosine) filter (where level = 'global') as cosine_global,
        any_value(distance) filter (where level = 'global') as distance_global,
        avg(cosine) filter (where level = 'local') as cosine_local,
        avg(distance) filter (where level = 'local') as distance_local,
        arg_min(phrase, cosine) filter (where level = 'local') as worst_phrase,
        min(cosine) filter (where level = 'local') as worst_cosine,
        coalesce(
            any_value(error) filter (where level = 'global'),
            min(error) filter (where level = 'local')
        ) as error
    from misalignment
    group by image_id

),

joined as (

    select
        images.image_id,
        images.variant,
        labels.uri,
        labels.num_uris,
        labels.label,
        labels.generator,
        labels.dataset,
        labels.split,
        labels.class_name,
        labels.disagreement,
        captions.caption,
        parsed.num_objects,
        measured.cosine_global,
        measured.distance_global,
        measured.cosine_local,
        measured.distance_local,
        measured.worst_phrase,
        measured.worst_cosine,
        coalesce(
            images.error,
            captions.error,
            parsed.error,
            measured.error
        ) as error
    from images
    left join labels using (content_id)
    left join captions on images.image_id = captions.image_id
    left join parsed on images.image_id = parsed.image_id
    left join measured on images.image_id = measured.image_id

)

from joined
