-- How well does one image fit its caption, beside all reals and all fakes?
-- A row is one cosine of the image: global, local, or that of an object.
--
-- The others are clean images with one known label, and the objects in them.
-- param image text null: its image_id
-- level         global: image and caption; local: mean over its objects;
--               object: one of them
-- object_no     as in objects
-- phrase        as in objects
-- cosine        of the image, or of region and phrase
-- distance      the same as a distance; local: the mean
-- among_reals   share of the reals with a lower cosine; with the same, half
-- among_fakes   share of the fakes with a lower one
-- mean_real     mean cosine of the reals
-- mean_fake     mean cosine of the fakes
-- reals         how many these are
-- fakes         and these

with own as materialized (

    select
        level,
        object_no,
        phrase,
        cosine,
        distance
    from misalignment
    where image_id = $image and cosine is not null

),

asked as materialized (

    select
        level,
        null::integer as object_no,
        null::varchar as phrase,
        cosine,
        distance
    from own
    where level = 'global'

    union all by name

    select
        'local' as level,
        avg(cosine) as cosine,
        avg(distance) as distance
    from own
    where level = 'local'
    having count(*) > 0

    union all by name

    select
        'object' as level,
        object_no,
        phrase,
        cosine,
        distance
    from own
    where level = 'local'

),

labels as (

    select
        content_id as image_id,
        label
    from content_labels()
    where label is not null

),

others as (

    select
        labels.label,
        misalignment.image_id,
        misalignment.level,
        misalignment.cosine
    from misalignment
    inner join labels using (image_id)
    where
        misalignment.cosine is not null
        and misalignment.image_id <> $image
        and exists (from asked)

),

cosines as (

    select
        label,
        'global' as level,
        cosine
    from others
    where level = 'global'

    union all by name

    select
        label,
        'object' as level,
        cosine
    from others
    where level = 'local'

    union all by name

    select
        any_value(label) as label,
        'local' as level,
        avg(cosine) as cosine
    from others
    where level = 'local'
    group by image_id

),

compared as (

    select
        asked.level,
        asked.object_no,
        avg(
            (cosines.cosine < asked.cosine)::integer
            + (cosines.cosine = asked.cosine)::integer / 2
        ) filter (where cosines.label = 0) as among_reals,
        avg(
            (cosines.cosine < asked.cosine)::integer
            + (cosines.cosine = asked.cosine)::integer / 2
        ) filter (where cosines.label = 1) as among_fakes,
        avg(cosines.cosine) filter (where cosines.label = 0) as mean_real,
        avg(cosines.cosine) filter (where cosines.label = 1) as mean_fake,
        count(*) filter (where cosines.label = 0) as reals,
        count(*) filter (where cosines.label = 1) as fakes
    from asked
    left join cosines using (level)
    group by asked.level, asked.object_no

)

select
    asked.level,
    asked.object_no,
    asked.phrase,
    asked.cosine,
    asked.distance,
    compared.among_reals,
    compared.among_fakes,
    compared.mean_real,
    compared.mean_fake,
    compared.reals,
    compared.fakes
from asked
left join compared
    on
        asked.level = compared.level
        and asked.object_no is not distinct from compared.object_no
order by asked.level, asked.object_no
