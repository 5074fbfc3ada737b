-- One row: one image with what a head is trained on.
--
-- image_id         as in images
-- global           image minus caption, float[{{ width }}]
-- local            mean over the objects of region minus phrase,
--                  float[{{ width }}]; null when the caption names none
-- num_objects      how many objects the caption names
-- cosine_global    cosine of image and caption
-- distance_global  distance of image and caption
-- cosine_local     mean cosine of the objects
-- distance_local   mean distance of the objects
-- error            why there are no features; null if there are

with source as (

    from store.{{ node }}

),

renamed as (

    select
        image_id,
        "global"::float[{{ width }}] as "global",
        "local"::float[{{ width }}] as "local",
        num_objects,
        cosine_global,
        distance_global,
        cosine_local,
        distance_local,
        error
    from source

)

from renamed
