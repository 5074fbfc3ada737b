-- One row: one of the given images, with its labels, its caption and how well
-- they fit. It is a table with one argument, and looks a few images up in much
-- less time than misalignment_by_image, which makes all rows first:
-- from about_images(['0b5d…', '77aa…']), or
-- from about_images((select list(image_id) from captions where …))
--
-- ids              the list of image_ids
-- objects          the phrases of its objects, each with its cosine
-- and, as in misalignment_by_image: image_id, variant, uri, label, generator,
-- caption, cosine_global, distance_global, cosine_local, worst_phrase,
-- worst_cosine

create macro about_images(ids) as table

with wanted as materialized (

    select distinct
        unnest(ids) as image_id,
        left(image_id, 32) as content_id

),

labels as (

    select
        image_id as content_id,
        min(uri) as uri,
        case when min(label) = max(label) then min(label) end as label,
        case
            when min(generator) = max(generator) then min(generator)
        end as generator
    from listing
    where image_id in (select content_id from wanted)
    group by image_id

),

measured as (

    select
        image_id,
        any_value(cosine) filter (where level = 'global') as cosine_global,
        any_value(distance) filter (where level = 'global') as distance_global,
        avg(cosine) filter (where level = 'local') as cosine_local,
        arg_min(phrase, cosine) filter (where level = 'local') as worst_phrase,
        min(cosine) filter (where level = 'local') as worst_cosine,
        string_agg(
            format('{} {:.2f}', phrase, cosine),
            ', '
            order by object_no
        ) filter (where level = 'local') as objects
    from misalignment
    where image_id in (select image_id from wanted)
    group by image_id

)

select
    images.image_id,
    images.variant,
    labels.uri,
    labels.label,
    labels.generator,
    captions.caption,
    measured.objects,
    measured.cosine_global,
    measured.distance_global,
    measured.cosine_local,
    measured.worst_phrase,
    measured.worst_cosine
from wanted
inner join images on wanted.image_id = images.image_id
left join labels on wanted.content_id = labels.content_id
left join captions on wanted.image_id = captions.image_id
left join measured on wanted.image_id = measured.image_id
