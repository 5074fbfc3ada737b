-- Which images move furthest when they are perturbed, and what is said of them?
-- A row is one image in one variant, the largest change of cosine first.
--
-- param variant text null: only this variant
-- param generator text null: only this generator, as in misalignment_by_image
-- param images integer 20: how many
-- image_id       of the perturbed image, as in images
-- uri            the path, or the first of several
-- variant        the name of the perturbation
-- kind           real, fake, or null where the label is unknown
-- generator      null if the image's listings differ
-- cosine_change  of the global cosine, from clean: below 0, it fits worse
-- cosine_clean   global cosine of the clean image
-- cosine         global cosine in the variant
-- caption_clean  caption of the clean image
-- caption        caption in the variant

with pairs as (

    select
        images.image_id,
        images.content_id,
        images.variant,
        perturbed.cosine_global - clean.cosine_global as cosine_change,
        clean.cosine_global as cosine_clean,
        perturbed.cosine_global as cosine
    from images
    inner join features as perturbed using (image_id)
    inner join features as clean on images.content_id = clean.image_id
    where
        images.variant <> 'clean'
        and ($variant::varchar is null or images.variant = $variant)
        and perturbed.cosine_global is not null
        and clean.cosine_global is not null
        and (
            $generator::varchar is null
            or images.content_id in (
                select image_id
                from listing
                where image_id is not null
                group by image_id
                having min(generator) = max(generator)
                    and min(generator) = $generator
            )
        )
    order by abs(cosine_change) desc, images.image_id
    limit $images::bigint

),

labels as (

    select
        image_id as content_id,
        min(uri) as uri,
        case
            when min(label) <> max(label) then null
            when min(label) = 0 then 'real'
            when min(label) = 1 then 'fake'
        end as kind,
        case
            when min(generator) = max(generator) then min(generator)
        end as generator
    from listing
    where image_id in (select content_id from pairs)
    group by image_id

)

select
    pairs.image_id,
    labels.uri,
    pairs.variant,
    labels.kind,
    labels.generator,
    pairs.cosine_change,
    pairs.cosine_clean,
    pairs.cosine,
    said_clean.caption as caption_clean,
    said.caption
from pairs
left join labels using (content_id)
left join captions as said on pairs.image_id = said.image_id
left join captions as said_clean on pairs.content_id = said_clean.image_id
order by abs(pairs.cosine_change) desc, pairs.image_id
