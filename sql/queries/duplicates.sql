-- Which files have the same bytes, and do their labels agree?
-- A row is one image that several files hold, contradicting labels first.
--
-- image_id      as in images
-- files         how many files hold it
-- labels_agree  false if it is listed both as real and as fake
-- kinds         the kinds it is listed as
-- generators    the generators it is listed under
-- splits        the splits it is listed in: more than one can be a leak
-- uris          the files

with repeated as (

    select image_id
    from listing
    where image_id is not null
    group by image_id
    having count(*) > 1

),

source as (

    select
        *,
        case label when 0 then 'real' when 1 then 'fake' end as kind
    from listing
    where image_id in (select image_id from repeated)

)

select
    image_id,
    count(*) as files,
    count(distinct kind) < 2 as labels_agree,
    string_agg(distinct kind, ', ' order by kind) as kinds,
    string_agg(distinct generator, ', ' order by generator) as generators,
    string_agg(distinct split, ', ' order by split) as splits,
    list(uri order by uri) as uris
from source
group by image_id
order by labels_agree, files desc, image_id
