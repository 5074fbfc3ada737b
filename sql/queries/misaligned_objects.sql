-- Which objects are often misaligned in fakes and not in reals?
-- A row is one head noun, the one with the largest difference first.
--
-- Clean images with one known label only. An object is misaligned if its cosine
-- is below the given quantile of the cosines of all objects in reals.
-- param share number 0.05: the quantile
-- param at_least integer 10: heads with so many objects in reals and in fakes
-- param generator text null: only this generator, as in clean_images
-- head             the lemma of the phrase's head noun
-- objects_real     measured objects in reals
-- objects_fake     measured objects in fakes
-- misaligned_real  share of objects_real that are misaligned
-- misaligned_fake  share of objects_fake that are misaligned
-- difference       misaligned_fake - misaligned_real
-- threshold        the cosine at the quantile, the same in every row

with labels as (

    select
        image_id,
        min(label) as label
    from listing
    where image_id is not null
    group by image_id
    having
        min(label) = max(label)
        and (
            $generator::varchar is null
            or (min(generator) = $generator and max(generator) = $generator)
        )

),

measured as (

    -- a variant's image_id is no listed one: these are clean
    select
        misalignment.head,
        labels.label,
        misalignment.cosine
    from misalignment
    inner join labels using (image_id)
    where misalignment.level = 'local' and misalignment.cosine is not null

),

limits as (

    select quantile_cont(cosine, $share::double) as threshold
    from measured
    where label = 0

),

joined as (

    select
        measured.head,
        count(*) filter (where measured.label = 0) as objects_real,
        count(*) filter (where measured.label = 1) as objects_fake,
        avg((measured.cosine < limits.threshold)::integer)
            filter (where measured.label = 0) as misaligned_real,
        avg((measured.cosine < limits.threshold)::integer)
            filter (where measured.label = 1) as misaligned_fake,
        any_value(limits.threshold) as threshold
    from measured
    cross join limits
    group by measured.head

)

select
    head,
    objects_real,
    objects_fake,
    misaligned_real,
    misaligned_fake,
    misaligned_fake - misaligned_real as difference,
    threshold
from joined
where objects_real >= $at_least::bigint and objects_fake >= $at_least::bigint
order by difference desc, head
