-- One row: one image against its caption (level global), or one object's
-- region against its phrase (level local). Images without objects have only
-- their global row.
--
-- image_id   as in images
-- level      global or local
-- object_no  as in objects; null on the global row
-- phrase     as in objects; null on the global row
-- head       as in objects; null on the global row
-- cosine     of the two embeddings, in float32
-- distance   length of the difference of the two unit vectors:
--            sqrt(2 - 2 cosine)
-- error      why it could not be measured; null if it could

with source as (

    from store.{{ node }}

),

renamed as (

    select
        image_id,
        level,
        object_no,
        phrase,
        head,
        cosine,
        distance,
        error
    from source
    where level = 'global' or object_no is not null

)

from renamed
