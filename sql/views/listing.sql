-- One row: one file of the corpus. The same bytes at two paths are two rows
-- with one image_id.
--
-- uri           where the file is; of a local name that is not UTF-8 the
--               percent-encoded file:///… (in it %E9 is the byte, of a plain
--               name it would be these three letters); with a / behind it, a
--               folder that could not be listed
-- image_id      first 32 hex digits of sha256; null if the file was unreadable
-- label         0 real, 1 fake, null unknown
-- generator     what made the image, or the set that a real image belongs to
-- dataset       the corpus it comes from
-- split         train, val, test, … or null
-- class_name    the content class of the corpus, if it has classes
-- released      when the generator was, by a column: YYYY-MM-DD
-- bytes         size of the file
-- width         pixels, before the EXIF orientation is applied
-- height        pixels, before the EXIF orientation is applied
-- format        found in the content, not in the file's extension
-- mode          the colour mode as stored (RGB, L, P, …)
-- orientation   EXIF orientation, 1 to 8
-- jpeg_quality  estimated from the tables; JPEG only
-- jpeg_tables   names the quantisation tables; JPEG only
-- has_exif      whether an EXIF block lies before the pixels
-- decode_bytes  memory that decoding takes at most, by the header
-- sha256        of the whole file
-- given_caption the caption that came with the file, in a column or in a file
--               beside it; else null
-- stamp         when the file was changed, in ns, or its etag; null: unknown
-- error         why the file could not be read or has no labels, or the folder
--               could not be listed; refused: …, why the corpus does not take
--               it, and nothing else has it; else null

with source as (

    from store.{{ node }}

),

renamed as (

    select
        uri,
        image_id,
        label,
        generator,
        dataset,
        split,
        class_name,
        released,
        bytes,
        width,
        height,
        format,
        mode,
        orientation,
        jpeg_quality,
        jpeg_tables,
        has_exif,
        decode_bytes,
        sha256,
        given_caption,
        stamp,
        error
    from source

)

from renamed
