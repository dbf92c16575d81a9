-- What the two indexes before this one hold too.
drop index listing_category, listing_brand;
