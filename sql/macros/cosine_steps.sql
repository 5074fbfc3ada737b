-- One row: the images of one label, listed under the same generators, that have
-- the same cosine at one level in steps of 2^-16, a quarter of what float16
-- vectors leave uncertain: there is less to sort than images. It is a table
-- with one argument: from cosine_steps('clean')
--
-- of_variant  of the images; null: each variant apart
-- listed      the generators that these images are listed under
-- label       0 real, 1 fake; images whose listings differ are left out
-- variant     clean, or the name of the perturbation; null: of these images the
--             store has no such row yet
-- level       global: image and caption; local: mean over the objects
-- step        65,536 times the cosine, rounded; null: no cosine
-- images      how many
-- cosine      their mean
-- variance    of their cosines about that

create macro cosine_steps(of_variant) as table

with source as (

    select
        image_id,
        case when level = 'global' then cosine end as cosine_of_image,
        case when level = 'local' then cosine end as cosine_of_object
    from misalignment
    where
        of_variant::varchar is null
        or of_variant = coalesce(nullif(substr(image_id, 34), ''), 'clean')

),

aligned as (

    select
        left(image_id, 32) as content_id,
        coalesce(nullif(substr(image_id, 34), ''), 'clean') as variant,
        any_value(cosine_of_image) as cosine_global,
        avg(cosine_of_object) as cosine_local
    from source
    group by image_id

),

joined as (

    select
        contents.generators as listed,
        contents.label,
        aligned.variant,
        unnest(['global', 'local']) as level,
        unnest([aligned.cosine_global, aligned.cosine_local]) as cosine
    from content_labels() as contents
    left join aligned using (content_id)
    where contents.label is not null

)

select
    listed,
    label,
    variant,
    level,
    round(cosine * 65536)::integer as step,
    count(*)::double as images,
    avg(cosine) as cosine,
    var_pop(cosine) as variance
from joined
group by listed, label, variant, level, step
