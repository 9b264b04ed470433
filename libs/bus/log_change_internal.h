/* log_change_internal.h: changes of a log's stream: its limits, and the map in its description (log_map.h).
 *
 * JetStream takes the configuration of a stream as a whole, and compares it with nothing: who writes back what was read before writes over what others
 * wrote meanwhile. So all changes go through here. A writer
 *   - asks, in one breath with the write, what there is: so it knows what it has written over, and brings that back;
 *   - looks again afterwards, and writes its map once more if somebody has written back an older one.
 * Maps of one stream have an order (mrd_log_map_join), so any number of writers end with the newest.
 *
 * What is left: a change that comes between that question and that write, which a server gets together and works off one after the other (in a cluster:
 * until its leaders have agreed on the write), is written over unnoticed; a map is then lost only if whoever wrote it has looked again before that. And a writer
 * that dies, or loses its connection, behind a write that was over something does not bring that back.
 *
 * Threads: any.
 */
#ifndef MRD_BUS_LOG_CHANGE_INTERNAL_H
#define MRD_BUS_LOG_CHANGE_INTERNAL_H

#include "bus/log_info.h"

struct mrd_log_change {
    struct mrd_log_limits limits;         /* .set: false, they stay */
    const struct mrd_log_map *map;        /* NULL: it stays */
    const struct mrd_log_map *map_before; /* what `map` was made of; with it only */
};

/* Writes nothing if nothing differs. *out_map (may be NULL): what the stream has then, which may be newer than `map`. MRD_E_UNAVAILABLE: try again; the map was
 * another than map_before, the stream was made anew meanwhile, or others write all the time. MRD_E_NOT_FOUND: there is no such stream. */
MRD_MUST_CHECK enum mrd_status mrd_log_change(struct mrd_bus *bus, uint32_t partition,
                                              const struct mrd_log_change *change,
                                              int64_t timeout_ms, struct mrd_log_map *out_map,
                                              struct mrd_error *err);

#endif
