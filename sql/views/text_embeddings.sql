-- One row: one text (a caption or a phrase) of one part, with its embedding.
-- A text that occurs in several parts has a row in each, with the same
-- text_id; take any_value(embedding) by text_id where each counts once.
--
-- text_id    first 32 hex digits of the sha256 of the text
-- text       the caption or phrase
-- embedding  the unit vector, float[{{ width }}]; null if it failed
-- norm       the length before it was normalised
-- truncated  true if the text was longer than the text encoder reads
-- error      why there is no embedding; null if there is one

with source as (

    from store.{{ node }}

),

renamed as (

    select
        text_id,
        text,
        embedding::float[{{ width }}] as embedding,
        norm,
        truncated,
        error
    from source

)

from renamed
