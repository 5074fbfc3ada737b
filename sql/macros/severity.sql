-- A value to order variants by, as tables show them: clean first, then kind by
-- kind, the mildest first, and chains step by step:
-- select variant from images group by variant order by severity(variant)
--
-- name  of a variant: jpeg_50, resize_0.5+jpeg_75, clean

create macro severity(name) as

list_transform(
    string_split(name, '+'),
    lambda step: {
        'kind': coalesce(
            list_position(
                ['noise', 'blur', 'jpeg', 'resize', 'crop', 'square'],
                split_part(step, '_', 1)
            ),
            0
        ),
        'amount': try_cast(split_part(step, '_', 2) as double)
        -- less noise and blur is milder, more of anything else
        * case when split_part(step, '_', 1) in ('noise', 'blur') then 1 else -1 end
    }
)
