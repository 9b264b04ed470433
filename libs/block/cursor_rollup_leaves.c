/* Of which columns a run of rollup rows needs its pages. */
#include <math.h>

#include "block/cursor_internal.h"
#include "block/writer.h"

/* A bound of a column's values, from the entry. */
static bool is_small(const struct mrd_block_entry *entry, int32_t field_id, bool least)
{
    for (size_t i = 0; i < entry->column_count; i++) {
        const struct mrd_block_file_column *column = &entry->columns[i];
        const struct mrd_bytes bytes = least ? column->min : column->max;
        double bound;
        if (column->field_id == field_id && (least ? column->has_min : column->has_max) &&
            bytes.size == sizeof(bound)) {
            memcpy(&bound, bytes.data, sizeof(bound));
            return fabs(bound) <= MRD_ROW_SMALL;
        }
    }
    return false;
}

unsigned mbx_rollup_columns(const struct mrd_block_entry *entry, unsigned wanted)
{
    const bool small =
        is_small(entry, MRD_BLOCK_FIELD_MIN, true) && is_small(entry, MRD_BLOCK_FIELD_MAX, false);
    return small ? wanted & ~(MRD_ROW_EXTREMES_OF_RESETS | MRD_ROW_EXTREMES_OF_SUMS) : wanted;
}

unsigned mbx_rollup_leaves(const struct mrd_block_cursor *cursor, const struct mbx_segment *segment)
{
    unsigned columns = cursor->options.columns == 0 ? MRD_ROW_ALL : cursor->options.columns;
    if ((columns & MRD_ROW_EXTREMES_OF_SUMS) != 0 ||
        ((columns & MRD_ROW_EXTREMES_OF_RESETS) != 0 && (segment->flags & MBX_RESETS) != 0)) {
        columns |= 1U << MRD_ROW_MIN | 1U << MRD_ROW_MAX;
    }
    if ((segment->flags & MBX_RESETS) == 0) {
        columns &= ~(1U << MRD_ROW_RESETS | 1U << MRD_ROW_LOST);
    }
    if ((segment->flags & MBX_STARTS) == 0) {
        columns &= ~(1U << MRD_ROW_FIRST_ST | 1U << MRD_ROW_LAST_ST);
    }
    if ((segment->flags & MBX_STALE) == 0) {
        columns &= ~(1U << MRD_ROW_STALE_TS);
    }
    unsigned leaves = (columns & MRD_ROW_ALL) << MBX_ROW;
    leaves |= (segment->flags & MBX_REGULAR) == 0 ? 1U << MBX_TS : 0;
    leaves |= (segment->flags & MBX_HISTOGRAMS) != 0 ? 1U << MBX_STATE : 0;
    return leaves;
}
