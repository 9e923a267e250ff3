package transport

const notSentLowWater = 0x19 // TCP_NOTSENT_LOWAT
