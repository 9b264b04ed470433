/* log_map.h: which positions of a partition's log the messages of its stream have, and what requests to erase it has dropped.
 *
 * A position is the stream's sequence, and a base that is added to it from some sequence on. A stream that was made anew or restored begins to
 * count anew; once somebody has said that it is the partition's log from now on (mrd_log_adopt), its new messages have positions behind all that were
 * given before. So positions never go back for those who read a log that was adopted.
 *
 * The map stands in the description of the stream itself, so it is read with the stream's state in one answer, goes with the
 * stream when that is lost, and comes back with it from a copy:
 *
 *     Meridian: partition log; erased 117964800000000000; positions 1+1000 901+2100
 *
 * From sequence 1 on 1000 is added, from 901 on 2100. Without that part nothing is added.
 *
 * Beside it stands the greatest stamp of the requests to erase that were trimmed from the log (0: none was): whoever begins behind them knows by it which of what
 * comes late or once more they may have. Without that part it is not known: nobody has trimmed the log since it was adopted, or only a release that did not say so.
 *
 * Threads: plain values. The text comes from anywhere.
 */
#ifndef MRD_BUS_LOG_MAP_H
#define MRD_BUS_LOG_MAP_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/status.h"

enum { MRD_LOG_MAP_PARTS = 16, MRD_LOG_MAP_TEXT_MAX = 1024 };

struct mrd_log_map {
    size_t count;
    struct mrd_log_map_part {
        uint64_t from; /* sequence of the stream, at least 1; rising */
        uint64_t base; /* rising */
    } parts[MRD_LOG_MAP_PARTS];
    bool erased_known;
    mrd_hlc erased;
};

/* MRD_E_CORRUPT: it says positions, and not so that they rise, or a stamp that is none. `description` may be NULL. */
MRD_MUST_CHECK enum mrd_status mrd_log_map_parse(const char *description, struct mrd_log_map *out,
                                                 struct mrd_error *err);
/* The description; returns out. */
const char *mrd_log_map_format(const struct mrd_log_map *map, char out[MRD_LOG_MAP_TEXT_MAX]);

bool mrd_log_map_equal(const struct mrd_log_map *a, const struct mrd_log_map *b);
/* Of two maps that one stream has had, the one that it had later: adopting raises the base, and trimming knows more of what was dropped. In any order, any number of
 * times. Two adoptions at the same time are not told apart. */
void mrd_log_map_join(struct mrd_log_map *map, const struct mrd_log_map *other);

/* What is added to sequences of the last part: the base of the log's identity. */
uint64_t mrd_log_map_base(const struct mrd_log_map *map);

uint64_t mrd_log_map_position(const struct mrd_log_map *map, uint64_t sequence);
/* The last position that is given away when the stream's last sequence is `sequence_last`: the next message has the one behind it. */
uint64_t mrd_log_map_last(const struct mrd_log_map *map, uint64_t sequence_last);
/* The first sequence whose position is `position` or behind it. */
uint64_t mrd_log_map_sequence(const struct mrd_log_map *map, uint64_t position);
/* The first position of the last part: who stands before it goes on there, whatever was before. */
uint64_t mrd_log_map_start(const struct mrd_log_map *map);

/* From the sequence `from` on positions are `position` and what follows. Parts that no message from sequence_first on is of are dropped.
 * What was dropped of the log is not known then. MRD_E_INVALID: positions would not rise. MRD_E_LIMIT: too many parts. */
MRD_MUST_CHECK enum mrd_status mrd_log_map_add(struct mrd_log_map *map, uint64_t sequence_first,
                                               uint64_t from, uint64_t position,
                                               struct mrd_error *err);

#endif
