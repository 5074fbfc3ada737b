-- An error without what is one file's alone, so that the same cause has the
-- same words: … stands for a path, the file's own name in quotes, an address.
-- select without_paths(error, uri) from listing
--
-- error  as the stage said it
-- uri    of the file that it is about, or null

create macro without_paths(error, uri) as

regexp_replace(
    regexp_replace(
        regexp_replace(
            regexp_replace(
                replace(
                    replace(
                        replace(error, coalesce(uri, chr(0)), '…'),
                        coalesce(
                            regexp_replace(uri, '^\w+://', ''), chr(0)
                        ),
                        '…'
                    ),
                    '''' || coalesce(parse_filename(uri), chr(0)) || '''',
                    '''…'''
                ),
                -- in quotes it may have spaces
                '''[^'']*[/\\][^'']*''|"[^"]*[/\\][^"]*"',
                '''…''',
                'g'
            ),
            '\b[a-z][a-z0-9+.-]*://[^\s,;)]+', '…', 'g'
        ),
        -- absolute, or relative with an ending
        '(^|[\s(=:])(/[^\s:,;()]+|[^\s:,;()''"]+/[^\s:,;()''"]+\.\w{1,5}\b)',
        '\1…',
        'g'
    ),
    '0x[0-9a-fA-F]{4,}', '0x…', 'g'
)
