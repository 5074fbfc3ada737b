-- One row: one object with the embedding of its region.
-- Images without objects have no row here, but one in store.{{ node }}.
--
-- image_id   as in images
-- object_no  as in objects
-- embedding  the unit vector, float[{{ width }}]; null if it failed
-- norm       the length before it was normalised
-- error      why there is no embedding; null if there is one

with source as (

    from store.{{ node }}

),

renamed as (

    select
        image_id,
        object_no,
        embedding::float[{{ width }}] as embedding,
        norm,
        error
    from source
    where object_no is not null

)

from renamed
