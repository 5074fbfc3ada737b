-- Which images are almost the same, within a generator or across sides?
-- A row is one pair of clean images, the most alike first.
--
-- A sample: every image is compared with every other one, so only the first
-- images of each generator by image_id are, which is random, since an image_id
-- is a hash. Twice as many take four times as long. Of two images that both
-- have a near-duplicate in a corpus, a sample of a tenth has one pair in a
-- hundred: whether train and test have any in common, `item audit` says, which
-- compares all.
-- param cosine number 0.99: of the two image embeddings, at least
-- param sample integer 500: images of each generator that are compared
-- param generator text null: only this generator
-- param across text null: only pairs that differ in generator, split or label
-- param pairs integer 100: at most so many rows
-- generator_a  as in listing; both are the same unless across says otherwise
-- generator_b  the other's
-- split_a      as in listing
-- split_b      the other's
-- image_a      image_id of the one
-- image_b      image_id of the other
-- uri_a        its file
-- uri_b        its file
-- kind_a       real, fake, or null where the label is unknown
-- kind_b       the same of the other
-- cosine       of the two image embeddings

with groups as (

    select
        image_id,
        generator,
        min(uri) as uri,
        min(split) as split,
        case
            when min(label) <> max(label) then null
            when min(label) = 0 then 'real'
            when min(label) = 1 then 'fake'
        end as kind
    from listing
    where
        image_id is not null
        and ($generator::varchar is null or generator = $generator)
    group by image_id, generator

),

sampled as (

    select groups.*
    from groups
    inner join image_embeddings using (image_id)
    where image_embeddings.norm is not null
    qualify
        row_number() over (partition by generator order by image_id)
        <= $sample::bigint

),

embedded as materialized (

    select
        image_id,
        embedding
    from image_embeddings
    where image_id in (select image_id from sampled)

),

starts as (

    select
        sampled.*,
        embedded.embedding[1:64] as start,
        -- images that are compared have the same
        case when $across::varchar is null then generator else '' end as among
    from sampled
    inner join embedded using (image_id)

),

-- no pair is lost: the first 64 numbers of two unit vectors are no further
-- apart than the vectors, sqrt(2 - 2 cosine), and float16 moves that little
close as (

    select
        a.generator as generator_a,
        b.generator as generator_b,
        a.split as split_a,
        b.split as split_b,
        a.image_id as image_a,
        b.image_id as image_b,
        a.uri as uri_a,
        b.uri as uri_b,
        a.kind as kind_a,
        b.kind as kind_b
    from starts as a
    inner join starts as b
        on
            a.among is not distinct from b.among
            and a.image_id < b.image_id
    where
        case $across::varchar
            when 'generator' then a.generator <> b.generator
            when 'split' then a.split <> b.split
            when 'label' then a.kind <> b.kind
            else $across::varchar is null
            or error('across is generator, split or label')
        end
        and list_distance(a.start, b.start)
        <= sqrt(greatest(0, 2.01 * (1 - $cosine::double)) + 0.001)

),

joined as (

    select
        close.*,
        array_cosine_similarity(a.embedding, b.embedding) as cosine
    from close
    inner join embedded as a on close.image_a = a.image_id
    inner join embedded as b on close.image_b = b.image_id

)

from joined
where cosine >= $cosine::double
order by cosine desc, generator_a, generator_b, image_a, image_b
limit $pairs::bigint
