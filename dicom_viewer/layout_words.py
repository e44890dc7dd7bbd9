"""Names of the built-in layouts and of their stages, marked for translation (docs/adr/0119).

They are kept and compared in English; who shows them says them in the reader's language.
"""

from archive.sentences import spoken

NAMES = (
    spoken("Brain and bone"),
    spoken("By sequence"),
    spoken("CT of the chest"),
    spoken("CT of the head"),
    spoken("Four series"),
    spoken("Four views"),
    spoken("Frontal and lateral"),
    spoken("MR of the head"),
    spoken("Mammography"),
    spoken("One picture"),
    spoken("One series"),
    spoken("PET and CT"),
    spoken("PET, CT, fused, MIP"),
    spoken("Plain"),
    spoken("Radiograph"),
    spoken("Soft tissue and lung"),
    spoken("Soft tissue, lung, bone"),
    spoken("Ultrasound"),
    spoken("With the prior"),
    spoken("With the prior outside"),
)
