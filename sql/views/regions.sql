-- One row: one object with the region of the image where it was found.
-- Images without objects have no row here, but one in store.{{ node }}.
--
-- image_id   as in images
-- object_no  as in objects
-- x0         left edge, as a fraction of the upright image's width
-- y0         upper edge, as a fraction of its height
-- x1         right edge
-- y1         lower edge
-- score      how sure the localiser is, on its own scale
-- error      why there is no region; null if there is one

with source as (

    from store.{{ node }}

),

renamed as (

    select
        image_id,
        object_no,
        x0,
        y0,
        x1,
        y1,
        score,
        error
    from source
    where object_no is not null

)

from renamed
