/* view.h: the view of a tenant's samples for SQL that does not care how values are stored: version 1 of Iceberg's view
 * specification, made of the table's metadata whenever it is asked for. No object of the store has it.
 *
 * Files of the compact layout (block/schema.h) have most values as integers and digits. The view has all columns of the table but
 * those two, with `value` as the plain layout has it: to the last bit, since the integers are below 2^53 and the powers of ten exact
 * (codec/decimal.h), so all that an engine does is one division of doubles. Of a table without these columns the view is the
 * table.
 *
 * A version of the view is a schema of the table: same columns, same id, same text.
 *
 * Owner:   plain values.
 * Threads: pure functions.
 */
#ifndef MRD_ICEBERG_VIEW_H
#define MRD_ICEBERG_VIEW_H

#include "iceberg/metadata.h"

#define MRD_ICEBERG_VIEW "samples_plain"
#define MRD_ICEBERG_VIEW_OF "samples"

struct mrd_iceberg_view {
    const struct mrd_iceberg_metadata *table;
    struct mrd_bytes tenant; /* the namespace, UTF-8 */
    struct mrd_bytes
        catalog; /* what the asking engine calls the catalog; empty: "where the view is" */
};

/* URI of the object that would have the view's metadata. */
void mrd_iceberg_view_location(const struct mrd_iceberg_view *view, struct mrd_buf *out);

/* Appends the SELECT in a dialect: names quoted by '"' (Trino, DuckDB) or '`' (Spark). */
void mrd_iceberg_view_sql(const struct mrd_iceberg_view *view, char quote, struct mrd_buf *out);

#endif
