-- One row: one image with its embedding.
--
-- image_id   as in images
-- embedding  the unit vector, float[{{ width }}]; null if it failed
-- norm       the length before it was normalised
-- error      why there is no embedding; null if there is one

with source as (

    from store.{{ node }}

),

renamed as (

    select
        image_id,
        embedding::float[{{ width }}] as embedding,
        norm,
        error
    from source

)

from renamed
