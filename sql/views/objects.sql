-- One row: one object that a caption names. Images whose caption names none,
-- or has no caption, have no row here; the store keeps one for each of them
-- (object_no null) in store.{{ node }}.
--
-- image_id   as in images
-- object_no  counts the objects of one caption, in the caption's order
-- phrase     the noun phrase, without its determiner
-- head       the lemma of its head noun
-- start      first character in the caption, from 0
-- end        one past the last character; in SQL written "end"
-- error      why the object could not be used; null if it could

with source as (

    from store.{{ node }}

),

renamed as (

    select
        image_id,
        object_no,
        phrase,
        head,
        "start",
        "end",
        error
    from source
    where object_no is not null

)

from renamed
