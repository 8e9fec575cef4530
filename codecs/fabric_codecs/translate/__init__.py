"""What a translation between protocols kept, folded or lost. The maps themselves stand with their protocol
(`lift`, `lower`)."""
