-- How are the global cosines of reals and of fakes distributed?
-- A row is one bin of the cosine that holds an image, the lowest first.
--
-- Clean images with one known label only.
-- param width number 0.05: of a bin
-- param generator text null: only this generator, as in clean_images
-- bin_from    lower edge, included
-- bin_to      upper edge, excluded
-- reals       images labelled real
-- fakes       images labelled fake
-- real_share  reals / all reals
-- fake_share  fakes / all fakes

with source as (

    select
        label,
        floor(cosine_global / $width::double)::bigint as bin
    from clean_images
    where
        label is not null
        and cosine_global is not null
        and ($generator::varchar is null or generator = $generator)

),

counted as (

    select
        bin,
        count(*) filter (where label = 0) as reals,
        count(*) filter (where label = 1) as fakes
    from source
    group by bin

)

select
    bin * $width::double as bin_from,
    (bin + 1) * $width::double as bin_to,
    reals,
    fakes,
    reals / nullif(sum(reals) over (), 0) as real_share,
    fakes / nullif(sum(fakes) over (), 0) as fake_share
from counted
order by bin
