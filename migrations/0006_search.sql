-- The words of a search are parsed one by one now, and ranked one by one.
drop function search_query(text);
