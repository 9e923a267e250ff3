package transport

const notSentLowWater = 0x201 // TCP_NOTSENT_LOWAT
