/* fault_store.h: a store that fails the n-th call, for tests that walk through all crash points:
 *
 *     for (uint64_t nth = 1;; nth++) {
 *         mrd_fault_store_arm(faults, &(struct mrd_fault){.nth = nth, .when = MRD_FAULT_AFTER, .crash = true});
 *         operation(faults);                      // may fail, must not lie
 *         const bool done = !mrd_fault_store_disarm(faults); // the n-th call never came
 *         check(inner);                           // what a restarted process finds
 *         if (done) break;
 *     }
 *
 * Calls are counted as they are made: begin, write and finish of an upload are one each, put_many is one for each object and one for the end. A visit of
 * a listing happens before an AFTER fault of it. The end of an upload is not counted and cannot fail.
 *
 * Owner:   the caller closes it; the inner store is lent and outlives it.
 * Threads: as every store; which call is the n-th is then a matter of chance.
 */
#ifndef MRD_OBJSTORE_FAULT_STORE_H
#define MRD_OBJSTORE_FAULT_STORE_H

#include "objstore/store.h"

struct mrd_fault {
    uint64_t nth; /* counted from 1 since the arming */
    enum mrd_fault_when {
        MRD_FAULT_BEFORE, /* nothing is done */
        MRD_FAULT_AFTER   /* it is done, and the reply is lost */
    } when;
    enum mrd_status status; /* what the call returns; MRD_OK stands for MRD_E_UNAVAILABLE */
    bool crash; /* all later calls fail too, and uploads are left as a killed process leaves them */
    /* Not NULL: the n-th call does not fail, but this happens before it, or after it and before its caller hears of it: what others do
     * meanwhile. It may use other stores only. */
    void (*meanwhile)(void *context);
    void *context;
};

struct mrd_objstore *mrd_fault_store_create(struct mrd_objstore *inner);

/* No call may be running. */
void mrd_fault_store_arm(struct mrd_objstore *store, const struct mrd_fault *fault);

/* Lets all calls through again; true if the fault has happened. */
bool mrd_fault_store_disarm(struct mrd_objstore *store);

/* Calls since the store was armed or disarmed last. */
uint64_t mrd_fault_store_calls(const struct mrd_objstore *store);

#endif
