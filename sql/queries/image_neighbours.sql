-- Which reals and which fakes are nearest to one image, in D and in CLIP?
-- A row is one neighbour in one space, the nearest of its space and kind first.
--
-- Clean images with one known label are compared, all of them. D is the global
-- misalignment of `features`; CLIP the embedding of the image.
-- param image text null: its image_id
-- param neighbours integer 5: of each kind and space
-- space       D or CLIP
-- kind        real or fake
-- distance    between the vectors: of D Euclidean, of CLIP 1 - cosine
-- image_id    as in images
-- uri         the path, or the first of several
-- generator   as in listing; null where its listings differ
-- caption     as in captions

with labels as (

    select
        content_id as image_id,
        label
    from content_labels()
    where label is not null and content_id <> left($image, 32)

),

distances as (

    select
        'D' as space,
        features.image_id,
        array_distance(features."global", asked."global") as distance
    from features
    cross join (select "global" from features where image_id = $image) as asked
    where features."global" is not null

    union all by name

    select
        'CLIP' as space,
        image_embeddings.image_id,
        1 - array_inner_product(image_embeddings.embedding, asked.embedding)
            as distance
    from image_embeddings
    cross join (
        select embedding
        from image_embeddings
        where image_id = $image
    ) as asked
    where image_embeddings.embedding is not null

),

nearest as materialized (

    select
        distances.space,
        labels.label,
        distances.distance,
        distances.image_id
    from distances
    inner join labels using (image_id)
    where distances.distance is not null
    qualify
        row_number() over (
            partition by distances.space, labels.label
            order by distances.distance, distances.image_id
        )
        <= $neighbours::bigint

),

about as (

    from about_images((select list(image_id) from nearest))

)

select
    nearest.space,
    case nearest.label when 0 then 'real' when 1 then 'fake' end as kind,
    nearest.distance,
    nearest.image_id,
    about.uri,
    about.generator,
    about.caption
from nearest
left join about using (image_id)
order by
    nearest.space desc,
    nearest.label,
    nearest.distance,
    nearest.image_id
