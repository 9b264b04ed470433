/* link_frame.h: the bytes of a link: a handshake, then rpc frames (bus/rpc_frame.h), each after its size. Little-endian; layout in
 * docs/formats/rpc.md.
 *
 *   hello      client: "MRDL", u8 version, 0 0 0, nonce
 *   challenge  server: "MRDL", u8 version, 0 0 0, nonce, proof
 *   proof      client: proof
 *   frame      u32 size of what follows, frame
 */
#ifndef MRD_BUS_LINK_FRAME_H
#define MRD_BUS_LINK_FRAME_H

#include <sys/uio.h>

#include "base/bytes.h"
#include "bus/link.h"

enum {
    MRD_LINK_VERSION = 1,
    MRD_LINK_NONCE_BYTES = 32,
    MRD_LINK_PROOF_BYTES = 32,
    MRD_LINK_HELLO_BYTES = 8 + MRD_LINK_NONCE_BYTES,
    MRD_LINK_CHALLENGE_BYTES = MRD_LINK_HELLO_BYTES + MRD_LINK_PROOF_BYTES,
    MRD_LINK_SIZE_BYTES = 4,
    MRD_LINK_REQUEST_MAX = 2 << 20, /* frames to a server; what is larger goes over NATS */
    MRD_LINK_ANSWER_MAX = 64 << 20, /* frames to a client, as NATS has it */
    MRD_LINK_READ_BYTES = 4096,
};

/* ---- handshake ---- */

struct mrd_link_nonces {
    uint8_t client[MRD_LINK_NONCE_BYTES];
    uint8_t server[MRD_LINK_NONCE_BYTES];
};

enum mrd_link_side { MRD_LINK_CLIENT, MRD_LINK_SERVER };

void mrd_link_nonce_make(uint8_t out[MRD_LINK_NONCE_BYTES]);

void mrd_link_hello_put(uint8_t out[MRD_LINK_HELLO_BYTES],
                        const uint8_t nonce[MRD_LINK_NONCE_BYTES]);
/* False: it is not one of this version. */
MRD_MUST_CHECK bool mrd_link_hello_get(const uint8_t hello[MRD_LINK_HELLO_BYTES],
                                       uint8_t out_nonce[MRD_LINK_NONCE_BYTES]);

/* That a side knows the secret: HMAC-SHA256 over the side's name and both nonces. */
void mrd_link_proof_make(const uint8_t secret[MRD_LINK_SECRET_BYTES], enum mrd_link_side side,
                         const struct mrd_link_nonces *nonces, uint8_t out[MRD_LINK_PROOF_BYTES]);
/* In constant time. */
MRD_MUST_CHECK bool mrd_link_proof_check(const uint8_t secret[MRD_LINK_SECRET_BYTES],
                                         enum mrd_link_side side,
                                         const struct mrd_link_nonces *nonces,
                                         const uint8_t proof[MRD_LINK_PROOF_BYTES]);

/* ---- frames ---- */

/* Cuts what arrives into frames. Plain memory of its owner; zero-initialise but for frame_max. Bound: the buffer, and
 * one frame. */
struct mrd_link_reader {
    size_t frame_max;
    uint8_t *frame; /* one that is larger than the buffer, until it is whole */
    size_t frame_size;
    size_t frame_have;
    size_t start; /* what is in the buffer and was not taken yet */
    size_t end;
    uint8_t buffer[MRD_LINK_READ_BYTES];
};

enum mrd_link_read { MRD_LINK_MORE, MRD_LINK_FRAME, MRD_LINK_BROKEN };

/* Where the next bytes are to go; returns how many pieces, at least one of which has room. Then tells how many have come. */
int mrd_link_reader_room(struct mrd_link_reader *reader, struct iovec out[2]);
void mrd_link_reader_filled(struct mrd_link_reader *reader, size_t size);

/* The next frame, whose memory is the caller's to free; MORE: it has not come whole yet; BROKEN: these are no frames. */
enum mrd_link_read mrd_link_reader_next(struct mrd_link_reader *reader, uint8_t **out_frame,
                                        size_t *out_size);

/* The kind of the next frame if that is known already, whole or not; -1. */
int mrd_link_reader_peek(const struct mrd_link_reader *reader);

/* Nothing of a frame has been read. */
bool mrd_link_reader_empty(const struct mrd_link_reader *reader);

void mrd_link_reader_fini(struct mrd_link_reader *reader);

#endif
