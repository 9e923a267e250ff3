/* A channel over connections that fail: attach, close and one rekey.
 * docs/protocol.md sections 4 to 6; see README.md for what is left out.
 *
 * Side I dials and attaches, side R answers. Direction d is what side d sends.
 * A record is named by its direction and number; what it holds is looked up.
 * Bounds (override with -D): CUTS connections fail, REPLAYS attach headers are
 * replayed, DATA_I and DATA_R records of data, CAP records under way.
 */

#ifndef CUTS
#define CUTS 2
#endif
#ifndef REPLAYS
#define REPLAYS 1
#endif
#ifndef DATA_I
#define DATA_I 1
#endif
#ifndef DATA_R
#define DATA_R 1
#endif
#ifndef CAP
#define CAP 2
#endif

/* Every cut and every replay costs at most one connection: one more than both
 * must be enough. The last index is the adversary's own connection. */
#define CONNS (CUTS + REPLAYS + 1)
#define FOE   CONNS
#define NONE  (CONNS + 1)

#define I 0
#define R 1

/* what a record holds */
#define DATA   0
#define REKEY  1	/* I: a new share; no key changes yet */
#define DONE   2	/* R: direction R changes after this record */
#define SWITCH 3	/* I: direction I changes after this record */
#define CLOSE  4

/* what travels: kind and a number */
#define ATT     0	/* attach header, n */
#define ANSWER  1	/* its answer: how many records R has received */
#define UNKNOWN 2	/* its refusal */
#define CLOSED  3	/* its answer when R has received CLOSE */
#define REC     4	/* record, its number */
#define ACK     5	/* record of an ACK alone, how many are received */

#define SIZE_I (DATA_I + 3)
#define SIZE_R (DATA_R + 2)
#define SIZE   6	/* not less than both */

chan toR[CONNS] = [CAP] of { byte, byte };
chan toI[CONNS] = [CAP] of { byte, byte };
bit cut[CONNS + 1];	/* writes vanish; what is under way arrives, or not */
byte cuts, replays;

/* A side as sender: records 0 .. formed-1 exist, those from freed on are kept,
 * next is the one to be written. As receiver: received is what it tells the
 * peer, opened what it has truly opened and handled. */
typedef Side {
	byte formed; byte next; byte freed;
	byte holds[SIZE];	/* of each record formed: content, */
	byte acks[SIZE];	/* the ACK it carries, */
	bit epoch[SIZE];	/* the keys it is sealed with */
	byte received; byte opened;
	byte told;		/* the newest ACK written on this connection */
	byte data;		/* records of data formed */
	bit tx; bit rx;		/* epoch of its keys, to send and to open */
	bit sentClose; bit gotClose; bit ended;
}
Side side[2];
bit finished;	/* both sides */

bit rekeyed;	/* I has sent REKEY */
bit oweSwitch;	/* I has opened DONE */
bit oweDone;	/* R has opened REKEY */
bit asked;	/* R has sent DONE and not opened SWITCH: the old attach key lives */

/* attach headers by n, which is the number of the connection that carries it */
byte attReceived[CONNS]; byte attFirst[CONNS]; byte attCount[CONNS]; bit attEpoch[CONNS];
byte lastN;	/* accepted by R */

/* the connection that I uses, and its state on it */
byte ic = 0; byte dialled = 1;
bit up = 1; bit answered; byte left; byte resume;
byte heldI;	/* taken off the connection, not opened yet: number + 1 */

/* the connection that R writes to, and its readers */
byte rc = 0;
bit reads[CONNS + 1];
byte pos[CONNS + 1];	/* number of the next record there */
byte count[CONNS + 1];	/* of the records that came before the answer */
byte below[CONNS + 1];	/* those below this are there already */
byte held[CONNS + 1];

#define max(a, b) ((a) > (b) -> (a) : (b))
#define me side[s]
#define peer side[1-s]

/* Side s learns that the peer has received a. */
inline acked(s, n) {
	assert(n <= me.formed);
#ifdef ACK_GOES_BACK
	assert(n >= me.freed);	/* broken: a lower one is a violation */
#endif
	if
	:: n > me.freed ->
		assert(n <= peer.opened);	/* P2: freed only what was opened */
		me.freed = n
	:: else
	fi
}

inline form(s, what) {
	me.holds[me.formed] = what;
	me.acks[me.formed] = me.received;
	me.epoch[me.formed] = me.tx;
	me.told = me.received;
	me.formed++
}

#ifdef KEYS_DROPPED_AFTER_CLOSE
#define heeds (!me.sentClose)
#else
#define heeds true
#endif

/* Side s opens record q of the peer and handles what it holds. */
inline open(s, q) {
	assert(q == me.opened);		/* P1: exactly once, in order */
	assert(peer.epoch[q] == me.rx);	/* P3: sealed with the keys that s expects */
	me.opened++;
#ifndef ACK_BEFORE_OPEN
	me.received = q + 1;
#endif
	acked(s, peer.acks[q]);
	if
	:: peer.holds[q] == REKEY -> oweDone = !me.sentClose
	:: peer.holds[q] == DONE && heeds -> me.rx = 1; oweSwitch = !me.sentClose
	:: peer.holds[q] == SWITCH && heeds -> me.rx = 1; asked = 0
	:: peer.holds[q] == CLOSE -> me.gotClose = 1
	:: else
	fi
}

inline empty_out(ch) {
	do
	:: nempty(ch) -> ch?_,_
	:: empty(ch) -> break
	od
}

/* ---- the initiator ---- */

#ifdef CLOSE_NOT_KEPT
#define dropsClose side[I].sentClose
#define kept (side[I].holds[side[I].next] != CLOSE)
#else
#define dropsClose false
#define kept true
#endif

#define writableI (cut[ic] || nfull(toR[ic]))

inline writeI(kind, v) {
	if
	:: cut[ic]
	:: else -> toR[ic]!kind,v
	fi
}

/* I ends reader and writer of its connection; a record that was taken is
 * opened or forgotten. */
inline leave() {
	if
	:: heldI > 0 -> open(I, heldI - 1)
	:: true
	fi;
	heldI = 0; empty_out(toI[ic]); cut[ic] = 1;
	ic = NONE; up = 0; answered = 0; left = 0
}

proctype Initiator() {
	byte k, v;
	do
	/* writes a new record, or the next kept one */
	:: atomic { up && !side[I].sentClose && side[I].next == side[I].formed && writableI ->
		if
		:: !side[I].gotClose && side[I].data < DATA_I -> form(I, DATA); side[I].data++
		:: !side[I].gotClose && !rekeyed -> form(I, REKEY); rekeyed = 1
		:: !side[I].gotClose && oweSwitch -> form(I, SWITCH); oweSwitch = 0; side[I].tx = 1
		:: true -> form(I, CLOSE); side[I].sentClose = 1
		fi;
		writeI(REC, side[I].next); side[I].next++ }
	:: atomic { up && side[I].next < side[I].formed && kept && writableI ->
		writeI(REC, side[I].next); side[I].next++ }
	:: atomic { up && side[I].told < side[I].received && writableI ->
		side[I].told = side[I].received; writeI(ACK, side[I].received) }

	/* reads */
	:: atomic { ic != NONE && heldI == 0 && nempty(toI[ic]) ->
		toI[ic]?k,v;
		if
		:: k == REC -> heldI = v + 1;
#ifdef ACK_BEFORE_OPEN
			side[I].received = v + 1;
#endif
		:: k == ACK -> acked(I, v)
		:: k == ANSWER -> assert(v >= side[I].freed); acked(I, v); answered = 1; resume = v
		:: k == UNKNOWN -> leave()
		:: k == CLOSED -> leave(); side[I].ended = 1
		fi;
		k = 0; v = 0 }
	:: atomic { heldI > 0 -> open(I, heldI - 1); heldI = 0 }

	/* attaches; the first records follow the header at once */
	:: atomic { ic == NONE && !side[I].ended && !side[I].gotClose ->
		assert(dialled < CONNS);	/* P5: no attach fails without a cause */
		ic = dialled; dialled++;
		attReceived[ic] = side[I].received; attFirst[ic] = side[I].freed; attEpoch[ic] = side[I].rx;
		if
		:: true -> left = 0
		:: side[I].formed > side[I].freed && !dropsClose -> left = side[I].formed - side[I].freed
		fi;
		attCount[ic] = left;
		side[I].next = side[I].freed; side[I].told = side[I].received;
		writeI(ATT, ic) }
	:: atomic { ic != NONE && left > 0 && writableI ->
		writeI(REC, side[I].next); side[I].next++; left-- }
	:: atomic { answered && left == 0 ->
		side[I].next = max(side[I].next, resume); up = 1; answered = 0; resume = 0 }

	:: atomic { ic != NONE && cut[ic] -> leave() }

	/* the end: both CLOSE and ACK, or the connection is gone after the peer's CLOSE */
	:: atomic { !side[I].ended && side[I].gotClose && (ic == NONE || side[R].ended
			|| side[I].sentClose && side[I].freed == side[I].formed && side[I].told == side[I].received) ->
		side[I].ended = 1 }
	:: side[I].ended -> break
	od
}

/* ---- the responder ---- */

#define writableR (cut[rc] || nfull(toI[rc]))

inline writeR(kind, v) {
	if
	:: cut[rc]
	:: else -> toI[rc]!kind,v
	fi
}

/* Behind the records that came before the answer, I goes on where R told it. */
inline settle(c) {
	if
	:: count[c] == 0 -> pos[c] = max(pos[c], below[c]); below[c] = 0
	:: else
	fi
}

/* R handles the record that it took from c: it skips what was there already. */
inline openR(c) {
	assert(held[c] == pos[c] + 1);
	if
	:: pos[c] < below[c]
	:: else -> open(R, pos[c])
	fi;
	held[c] = 0; pos[c]++;
	if
	:: count[c] > 0 -> count[c]--; settle(c)
	:: else
	fi
}

/* R ends the reader and writer of connection c. */
inline fence(c) {
	if
	:: c < CONNS ->
		if
		:: held[c] > 0 -> openR(c)
		:: true
		fi;
		held[c] = 0; reads[c] = 0; pos[c] = 0; count[c] = 0; below[c] = 0;
		empty_out(toR[c]); cut[c] = 1
	:: else
	fi
}

inline reply(c, kind, v) {
	if
	:: cut[c]
	:: else -> toI[c]!kind,v
	fi
}

#ifdef NO_N
#define newN(n) true
#else
#define newN(n) (n > lastN)
#endif
#ifdef OLD_EPOCH_FORGOTTEN
#define knownEpoch(n) (attEpoch[n] == side[R].tx)
#else
#define knownEpoch(n) (attEpoch[n] == side[R].tx || asked)
#endif
#ifdef CLOSED_FORGOTTEN
#define closed false
#define living (!side[R].gotClose)
#else
#define closed side[R].gotClose
#define living true
#endif
#define inRange(n) (side[R].freed <= attReceived[n] && attReceived[n] <= side[R].formed \
	&& attFirst[n] <= side[R].received)

/* R reads attach header n from connection c. */
inline attach(n, c) {
	if
	:: newN(n) && knownEpoch(n) && living && (closed || inRange(n)) ->
		assert(n > lastN);	/* P4: an old header moves nothing */
		lastN = n;
#ifdef RECEIVED_BEFORE_FENCE
		r = side[R].received; fence(rc);
#else
#ifndef NO_FENCE_READER
		fence(rc);
#endif
		r = side[R].received;
#endif
#ifdef NO_FENCE_WRITER
		old = 1;
#endif
		rc = c;
		if
		:: closed -> reply(c, CLOSED, 0)
		:: else ->
			acked(R, attReceived[n]);
			side[R].next = attReceived[n]; side[R].told = r;
			if
			:: c < CONNS ->
				reads[c] = 1; pos[c] = attFirst[n]; count[c] = attCount[n]; below[c] = r;
				settle(c)
			:: else
			fi;
			reply(c, ANSWER, r)
		fi;
		r = 0
	:: else -> reply(c, UNKNOWN, 0)
	fi
}

inline take(c) {
	toR[c]?k,v;
	if
	:: k == REC -> held[c] = v + 1;
#ifdef ACK_BEFORE_OPEN
		side[R].received = max(side[R].received, v + 1);
#endif
	:: k == ACK -> acked(R, v)
	fi;
	k = 0; v = 0
}

/* P6: what a side has seen closed it has seen whole, and somebody has; P3. */
inline at_end() {
	assert(side[I].gotClose || side[R].gotClose);
	assert(!side[I].gotClose || side[I].opened == side[R].formed);
	assert(!side[R].gotClose || side[R].opened == side[I].formed);
	assert(side[I].rx <= side[R].tx && side[R].rx <= side[I].tx);
	assert(!side[R].rx || side[I].rx && side[I].tx && side[R].tx)
}

#define READS(c) \
	:: atomic { reads[c] && held[c] == 0 && nempty(toR[c]) -> take(c) } \
	:: atomic { held[c] > 0 -> openR(c) }
#define ATTACHES(c) \
	READS(c) \
	:: atomic { !reads[c] && toR[c]?[ATT,_] -> toR[c]?k,v; attach(c, c); k = 0; v = 0 } \
	:: atomic { replays < REPLAYS && dialled > c -> replays++; attach(c, FOE) }

proctype Responder() {
	byte k, v, r;
#ifdef NO_FENCE_WRITER
	bit old;
#endif
	do
	:: atomic { !side[R].sentClose && side[R].next == side[R].formed && writableR ->
		if
		:: !side[R].gotClose && side[R].data < DATA_R -> form(R, DATA); side[R].data++
		:: !side[R].gotClose && oweDone -> form(R, DONE); oweDone = 0; side[R].tx = 1; asked = 1
		:: true -> form(R, CLOSE); side[R].sentClose = 1
		fi;
		writeR(REC, side[R].next); side[R].next++ }
	:: atomic { side[R].next < side[R].formed && writableR ->
		writeR(REC, side[R].next); side[R].next++ }
	:: atomic { side[R].told < side[R].received && writableR ->
		side[R].told = side[R].received; writeR(ACK, side[R].received) }
#ifdef NO_FENCE_WRITER
	/* the writer of an earlier connection, on which nobody reads, writes on */
	:: atomic { old && side[R].next < side[R].formed -> side[R].next++ }
#endif
	READS(0)
#if CONNS > 1
	ATTACHES(1)
#endif
#if CONNS > 2
	ATTACHES(2)
#endif
#if CONNS > 3
	ATTACHES(3)
#endif
#if CONNS > 4
	ATTACHES(4)
#endif
	:: atomic { (!side[R].ended && side[R].gotClose && side[R].sentClose
			&& side[R].freed == side[R].formed && side[R].told == side[R].received) ->
		side[R].ended = 1 }
	/* I has ended: so does R, if need be when its time to wait is over */
	:: atomic { side[I].ended -> at_end(); finished = 1; break }
	od
}

proctype Network() {
end:	do
	:: atomic { cuts < CUTS && ic < CONNS && !cut[ic] -> cut[ic] = 1; cuts++ }
	:: side[I].ended -> break
	od
}

init {
	atomic {
		cut[FOE] = 1; reads[0] = 1;
		run Initiator(); run Responder(); run Network()
	}
	finished;	/* the only state in which a run may stay */
	do
	:: side[I].ended ->
progress:	side[I].ended
	od
}
