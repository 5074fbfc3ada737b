-- How far do cosine and caption move when the same images are perturbed?
-- A row is one variant and kind (real, fake), with means per image.
--
-- Images that were measured clean and in the variant; changes are from clean,
-- so below 0 image and caption fit worse.
-- param generator text null: only images that are listed under this one
-- variant           the name of the perturbation
-- kind              real, fake, or null where unknown or listings disagree
-- images            distinct images
-- caption_changed   share of images with another caption than clean
-- objects_change    mean change of the number of objects
-- cosine_change     mean change of the global cosine
-- cosine_change_sd  standard deviation over the images
-- cosine_moved      mean size of that change, up or down
-- local_change      mean change of the mean cosine of the objects, over the
--                   images that have objects both times

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

pairs as (

    select
        images.variant,
        labels.kind,
        said.caption <> said_clean.caption as caption_changed,
        perturbed.num_objects - clean.num_objects as objects_change,
        perturbed.cosine_global - clean.cosine_global as cosine_change,
        perturbed.cosine_local - clean.cosine_local as local_change
    from images
    inner join labels using (content_id)
    inner join features as perturbed using (image_id)
    inner join features as clean on images.content_id = clean.image_id
    inner join captions as said on images.image_id = said.image_id
    inner join captions as said_clean
        on images.content_id = said_clean.image_id
    where
        images.variant <> 'clean'
        and perturbed.cosine_global is not null
        and clean.cosine_global is not null

)

select
    variant,
    kind,
    count(*) as images,
    avg(caption_changed::integer) as caption_changed,
    avg(objects_change) as objects_change,
    avg(cosine_change) as cosine_change,
    stddev_samp(cosine_change) as cosine_change_sd,
    avg(abs(cosine_change)) as cosine_moved,
    avg(local_change) as local_change
from pairs
group by variant, kind
order by severity(variant), kind desc
