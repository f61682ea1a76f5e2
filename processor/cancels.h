/*
 * Reads the control stream, from its first message and again after every connection: who was canceled. Tells the
 * processor once when what was waiting has been read, so that nothing canceled long ago is run by a processor that has
 * just started; with no stream to be had it tells after a few seconds.
 */
#ifndef PROCESSOR_CANCELS_H
#define PROCESSOR_CANCELS_H

#include "processor/processor.h"

struct cancels;

int cancels_new(struct processor *p, struct cancels **out);
void cancels_free(struct cancels *c);
void cancels_stop(struct cancels *c);

#endif
