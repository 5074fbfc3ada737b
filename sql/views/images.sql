-- One row: one distinct image, in one variant. Of a variant, width and height
-- are those of the perturbed, upright image; bytes, format, has_exif and what
-- is known of a JPEG are those of the file that it would be if its last step is
-- JPEG, and else null.
--
-- image_id      first 32 hex digits of sha256, then -variant unless clean
-- content_id    those 32 digits: joins to listing.image_id
-- variant       clean, or the name of the perturbation
-- bytes         size of the file
-- width         pixels, before the EXIF orientation is applied
-- height        pixels, before the EXIF orientation is applied
-- format        found in the content, not in the file's extension
-- mode          the colour mode as stored (RGB, L, P, …)
-- orientation   EXIF orientation, 1 to 8
-- jpeg_quality  estimated from the tables; JPEG only
-- jpeg_tables   names the quantisation tables; JPEG only
-- has_exif      whether an EXIF block lies before the pixels
-- sha256        of the whole file
-- error         why the image cannot be used; null if it can

with source as (

    from store.{{ node }}

),

renamed as (

    select
        image_id,
        left(image_id, 32) as content_id,
        variant,
        bytes,
        width,
        height,
        format,
        mode,
        orientation,
        jpeg_quality,
        jpeg_tables,
        has_exif,
        sha256,
        error
    from source

)

from renamed
